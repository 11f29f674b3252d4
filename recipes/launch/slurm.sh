#!/bin/bash
# Train on several machines under SLURM, one torchrun on each; it finds the GPUs of its machine.
#
#   STAGE=pretraining DATA=/shared/tokens OUTPUT=/shared/runs/pretraining sbatch --nodes 8 recipes/launch/slurm.sh
#
# OUTPUT lies on a disk that all machines share. A job that is preempted or loses a machine is queued again and goes on from
# its last checkpoint; with another number of machines too.
#SBATCH --job-name=videolavit
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --exclusive
#SBATCH --requeue
#SBATCH --output=videolavit-%j.log

set -euo pipefail
: "${STAGE:?name the stage, such as pretraining}" "${DATA:?name the folder of the data}" "${OUTPUT:?name the folder of the run}"

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | awk 'NR == 1')  # reads all: a closed pipe would end the script
address=$(srun --nodes 1 --ntasks 1 --nodelist "$head" hostname --ip-address | awk '{print $1}')
export OMP_NUM_THREADS=1

# Names of hosts need not resolve to the address that was told: each torchrun is told whether it hosts the rendezvous.
srun bash -c '
  is_host=$([ "$SLURM_NODEID" = 0 ] && echo 1 || echo 0)
  exec torchrun --nnodes "$SLURM_NNODES" --nproc-per-node "$SLURM_GPUS_ON_NODE" --max-restarts 3 \
    --rdzv-id "$SLURM_JOB_ID" --rdzv-backend c10d --rdzv-endpoint "$0:29500" --rdzv-conf "is_host=$is_host" \
    -m videolavit train "$@"
' "$address" "$STAGE" --preset paper --data "$DATA" -o "$OUTPUT" "$@"
