"""Makes the golden files of texts with Hugging Face's tokenizers: three small tokenizers, and what they make of texts.

    python3 -m venv /tmp/golden && /tmp/golden/bin/pip install tokenizers==0.23.3
    /tmp/golden/bin/python shared/transforms/tests/data/make_text.py

Writes beside itself: text/{wordpiece,bpe,unigram}.json, and text/expected.json (ids, mask and types of each text alone
and of all as one batch).
"""

import json
import pathlib

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

TO = pathlib.Path(__file__).parent / "text"

# What the vocabularies are made from.
CORPUS = [
    "The dunlin is a small wader that breeds in northern Europe, Asia and America.",
    "It flies in great flocks over the mudflats, and turns as one bird would.",
    "Free money! Win a prize now, click here, no fee, no risk, win win win!",
    "Dear all, the meeting is moved to three o'clock on Tuesday; please bring the figures.",
    "Das Wetter wird morgen schön, naïve Käfer über Größe und Straße.",
]

TEXTS = [
    "The dunlin flies over the mudflats.",
    "WIN a prize now!!!",
    "Größe, naïve Käfer — 東京 🐦 unbelievablywordless",
    "",
    "  two  spaces\tand a tab\nand a line ",
    "the " * 40,
]
PAIRS = [("Is it a bird?", "The dunlin is a small wader."), ("the " * 30, "a short one")]
MAX = 16


def wordpiece():
    """As BERT's: lower case, [CLS] and [SEP]; the file declares padding and a cut."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    tokenizer.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=180, special_tokens=special))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_padding(pad_id=0, pad_token="[PAD]", length=20)
    tokenizer.enable_truncation(max_length=12)
    return tokenizer


def bpe():
    """As GPT-2's, bytes and a regular expression; padded on the left, as models of decoders want it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=330, special_tokens=["<pad>", "<s>", "</s>"], initial_alphabet=alphabet)
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 1))
    tokenizer.enable_padding(direction="left", pad_id=0, pad_token="<pad>")
    return tokenizer


def unigram():
    """As SentencePiece's; no padding declared, and a token that is called so."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    tokenizer.train_from_iterator(
        CORPUS, trainers.UnigramTrainer(vocab_size=120, special_tokens=special, unk_token="<unk>")
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tokenizer


def expected(tokenizer):
    """Each text alone, and all of them as one batch."""
    pads = [name for name in ("[PAD]", "<pad>") if tokenizer.token_to_id(name) is not None]
    side = (tokenizer.padding or {}).get("direction", "right")
    tokenizer.enable_padding(direction=side, pad_id=tokenizer.token_to_id(pads[0]), pad_token=pads[0])
    tokenizer.enable_truncation(max_length=MAX)
    inputs = [*TEXTS, *PAIRS]
    fields = lambda e: {"ids": e.ids, "mask": e.attention_mask, "types": e.type_ids}  # noqa: E731
    return {
        "alone": [fields(tokenizer.encode_batch([text])[0]) for text in inputs],
        "batch": [fields(encoding) for encoding in tokenizer.encode_batch(inputs)],
    }


def main():
    TO.mkdir(exist_ok=True)
    golden = {"max_tokens": MAX, "texts": [*TEXTS, *PAIRS], "tokenizers": {}}
    for make in (wordpiece, bpe, unigram):
        tokenizer, name = make(), make.__name__
        tokenizer.save(str(TO / f"{name}.json"), pretty=False)
        golden["tokenizers"][name] = expected(tokenizer)
    (TO / "expected.json").write_text(json.dumps(golden, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
