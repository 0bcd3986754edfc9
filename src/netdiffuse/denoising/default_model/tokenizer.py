"""The tokenizer of the small model: one token a word, of the few words that its captions have."""

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from netdiffuse.denoising.default_model.captions import WORDS

PAD, START, END, UNKNOWN = "<pad>", "<s>", "</s>", "<unk>"
VOCABULARY = (PAD, START, END, UNKNOWN, *WORDS)
LENGTH = 16  # tokens of a prompt, start and end included; the longest caption has ten


def make_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer that `StableDiffusionPipeline` takes, and saves and loads with the other parts.

    A word that is not in the vocabulary, and any punctuation, is read as "<unk>".
    """
    inner = Tokenizer(WordLevel({word: i for i, word in enumerate(VOCABULARY)}, unk_token=UNKNOWN))
    inner.normalizer = Lowercase()
    inner.pre_tokenizer = Whitespace()
    inner.post_processor = TemplateProcessing(
        single=f"{START} $A {END}", special_tokens=[(word, VOCABULARY.index(word)) for word in (START, END)]
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=inner,
        model_max_length=LENGTH,
        pad_token=PAD,
        bos_token=START,
        eos_token=END,
        unk_token=UNKNOWN,
    )
