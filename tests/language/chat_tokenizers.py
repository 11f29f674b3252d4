"""Text tokenizers with the special tokens of Qwen and Llama 3, of any size."""

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

SPECIAL = {
    "qwen": ("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    "llama3": ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
}
ENDS = {"qwen": "<|im_end|>", "llama3": "<|eot_id|>"}


def chat_tokenizer(kind: str, size: int = 400) -> PreTrainedTokenizerFast:
    """Bytes, words that nothing is made of up to `size`, and the special tokens last, as in the real ones."""
    letters = pre_tokenizers.ByteLevel.alphabet()
    words = [*sorted(letters), *(f"word{number}" for number in range(size - len(letters) - len(SPECIAL[kind])))]
    tokenizer = Tokenizer(models.BPE(vocab={word: number for number, word in enumerate(words)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    bos = {"bos_token": "<|begin_of_text|>"} if kind == "llama3" else {}
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=ENDS[kind], clean_up_tokenization_spaces=False, **bos
    )
    made.add_special_tokens({"additional_special_tokens": list(SPECIAL[kind])})
    assert len(made) == size
    return made
