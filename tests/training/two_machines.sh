#!/usr/bin/env bash
# Two machines on one: network namespaces joined by a cable of veth. Each runs one agent of torchrun with one process.
#   unshare --map-root-user --net --mount --kill-child two_machines.sh PIDS TORCHRUN_OPTIONS -- COMMAND..
# PIDS becomes a file with the numbers of the two agents. The exit code is that of the first.
set -eu
pids=$1; shift
options=(); while [ "$1" != -- ]; do options+=("$1"); shift; done; shift

unshare --net sleep 600 & other=$!
trap 'kill $other 2>/dev/null || true' EXIT
until [ "$(readlink /proc/$other/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
ip link add va type veth peer name vb
ip link set vb netns $other
ip address add 10.9.0.1/24 dev va
ip link set va up; ip link set lo up
nsenter --net --target $other sh -c 'ip address add 10.9.0.2/24 dev vb; ip link set vb up; ip link set lo up'

# Without is_host nobody keeps the store: neither host's name resolves to the endpoint's address.
agent() { # device, address, is_host
  exec env GLOO_SOCKET_IFNAME="$1" "$PYTHON" -m torch.distributed.run --nproc-per-node=1 --rdzv-backend=c10d \
    --rdzv-endpoint=10.9.0.1:29500 --rdzv-conf="is_host=$3,last_call_timeout=5,join_timeout=120" \
    --local-addr="$2" --rdzv-id=two "${options[@]}" "${command[@]}"
}
command=("$@")
agent va 10.9.0.1 1 & first=$!
export -f agent
(options_text=$(printf '%q ' "${options[@]}"); command_text=$(printf '%q ' "${command[@]}")
 exec nsenter --net --target $other bash -c \
   "options=($options_text); command=($command_text); $(declare -f agent); agent vb 10.9.0.2 0") & second=$!
echo "$first $second" > "$pids.partial"; mv "$pids.partial" "$pids"
wait $first
