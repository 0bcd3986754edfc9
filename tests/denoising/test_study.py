import dataclasses
import json

import numpy as np
import pytest
import torch

from netdiffuse.common import DataFileError, InvalidValueError, UnsupportedError
from netdiffuse.denoising.codec import make_codec
from netdiffuse.denoising.quality import distance, to_tensor
from netdiffuse.denoising.study import Pair, QualityTable, Study, make_judge, quality_table, run_study
from netdiffuse.denoising.study.study import _sent

from .serving import bag_of_words, tiny_model

PAIRS = (
    Pair("apple on a table", "apple on a table"),
    Pair("apple on a table", "lemon on a table"),
    Pair("apple", "a tree"),
)
STUDY = Study(PAIRS, 5, (0, 2, 4), (0.0, 0.1), seeds=2, scheduler="unipc")


def bright(pictures, prompts):
    """A judge that anybody can check."""
    return to_tensor(pictures).mean((1, 2, 3)).tolist()


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture(scope="module")
def trials(model):
    return run_study(model, bag_of_words, bright, STUDY)


def at(trials, pair, shared, rate):
    (found,) = [
        t for t in trials
        if (t.leader, t.follower, t.shared, t.bit_error_rate) == (pair.leader, pair.follower, shared, rate)
    ]  # fmt: skip
    return found


def test_every_point_once(trials):
    points = {(t.leader, t.follower, t.shared, t.bit_error_rate) for t in trials}
    assert len(points) == len(trials) == 3 * (1 + 2 * 2)


def test_like_prompts_share_for_nothing_but_the_codec(model, trials):
    """A leader that says the same leads where the follower goes; what is left is the codec, at a rate of 0 too."""
    codec = make_codec("uint8")
    start = model.begin([0, 1], 5, scheduler="unipc")
    conditioning = model.encode([PAIRS[0].follower])
    alone = model.decode(model.advance(start, conditioning))
    for shared in (2, 4):
        state = model.advance(start, conditioning, shared)
        sent = state.map(lambda tensor: codec.decode(codec.encode(tensor)).to(tensor))
        expected = distance(model.decode(model.advance(sent, conditioning)), alone)["mse"]
        assert at(trials, PAIRS[0], shared, 0.0).mse == pytest.approx(tuple(expected))
        assert min(at(trials, PAIRS[0], shared, 0.1).mse) > max(expected) > 0
    assert at(trials, PAIRS[0], 0, 0.0).mse == (0.0, 0.0)


def test_every_pair_has_bit_errors_of_its_own(model):
    """One leader, so one latent is sent: two followers must not meet the same noise."""
    state = model.begin([0], 5)
    pairs = [Pair("apple", "lemon"), Pair("apple", "a tree"), Pair("apple", "lemon")]
    one, other, again = (_sent(state, pair, 0.1, "uint8").latents for pair in pairs)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert not torch.equal(one, _sent(state, pairs[0], 0.11, "uint8").latents)


def test_sharing_nothing_is_being_alone(trials):
    for pair in PAIRS:
        assert at(trials, pair, 0, 0.0).mse == (0.0, 0.0)


def test_the_more_is_shared_the_farther(trials):
    for pair in PAIRS[1:]:
        assert np.mean(at(trials, pair, 4, 0.0).mse) > np.mean(at(trials, pair, 2, 0.0).mse) > 0


def test_against_a_plain_telling(model, trials):
    """One seed, one chain, by hand."""
    pair = PAIRS[1]
    state = model.begin([1], 5, scheduler="unipc")
    state = model.advance(state, model.encode([pair.leader]), 2)
    (picture,) = model.decode(model.advance(state, model.encode([pair.follower])))
    assert at(trials, pair, 2, 0.0).fidelity[1] == pytest.approx(bright([picture], [""])[0], abs=2 / 255)


def test_the_same_again(model, trials):
    assert run_study(model, bag_of_words, bright, STUDY) == trials


def test_table(model, trials, tmp_path):
    table = quality_table(trials, STUDY, model, "bright", bins=2)
    assert table.quality.shape == (2, 3, 2)
    cosine = [at(trials, pair, 0, 0.0).similarity for pair in PAIRS]
    assert table.similarity.tolist() == pytest.approx([(cosine[2] + cosine[1]) / 2, cosine[0]])
    only = at(trials, PAIRS[0], 4, 0.1)
    assert table.quality[1, 2, 1] == pytest.approx(np.mean(only.fidelity))
    assert table.quality[1, 0, 0] == table.quality[1, 0, 1]  # nothing is sent where nothing is shared
    assert table.samples == 2
    table.save(tmp_path / "quality.json")
    again = QualityTable.load(tmp_path / "quality.json")
    for field in dataclasses.fields(table):
        np.testing.assert_array_equal(getattr(again, field.name), getattr(table, field.name))


def grid(**change):
    s, f, b = np.array([0.0, 1.0]), np.array([0.0, 0.5, 1.0]), np.array([0.0, 0.1])
    quality = 0.2 + 0.3 * s[:, None, None] + 0.4 * (1 - f[None, :, None]) - b[None, None, :]
    given = {"similarity": s, "shared_fraction": f, "bit_error_rate": b, "quality": quality,
             "half_width": np.zeros_like(quality), "model": "m", "steps": 4, "codec": "int4", "judge": "j",
             "samples": 3}  # fmt: skip
    return QualityTable(**given | change)


def test_between_the_points():
    """A plane is interpolated exactly, and ends where the grid ends."""
    s, f, b = torch.rand(3, 50, generator=torch.Generator().manual_seed(0)).double().numpy()
    found = grid()(s, f, 0.1 * b)
    np.testing.assert_allclose(found, 0.2 + 0.3 * s + 0.4 * (1 - f) - 0.1 * b, atol=1e-12)
    assert grid()(2.0, -1.0, 0.3) == pytest.approx(0.2 + 0.3 + 0.4 - 0.1)
    assert grid()(np.zeros((2, 1)), np.zeros(3), 0.0).shape == (2, 3)


def test_a_single_point_on_an_axis():
    found = grid(bit_error_rate=np.array([0.0]), quality=grid().quality[:, :, :1], half_width=np.zeros((2, 3, 1)))
    assert found(1.0, 0.0, 0.07) == pytest.approx(0.9)


def test_most_shared():
    assert grid().most_shared(1.0, 0.7) == 0.5
    assert grid().most_shared(0.0, 0.7) == 0.0
    assert grid().most_shared(1.0, 0.0) == 1.0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"similarity": np.array([1.0, 0.0])}, "similarity must be finite and rising"),
        ({"quality": np.zeros((2, 3))}, "quality must be finite and of shape"),
        ({"quality": np.full((2, 3, 2), 1.5)}, r"in \[0, 1\]"),
        ({"quality": np.full((2, 3, 2), np.nan)}, "finite"),
    ],
)
def test_bad_tables(change, said):
    with pytest.raises(InvalidValueError, match=said):
        grid(**change)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "netdiffuse.quality", "version": 2}'])
def test_bad_files(tmp_path, text):
    (tmp_path / "q.json").write_text(text)
    with pytest.raises(DataFileError, match=r"q\.json cannot be used"):
        QualityTable.load(tmp_path / "q.json")
    with pytest.raises(DataFileError):
        QualityTable.load(tmp_path / "none.json")


def test_a_file_that_lacks_something(tmp_path):
    grid().save(tmp_path / "q.json")
    said = json.loads((tmp_path / "q.json").read_text())
    del said["steps"]
    (tmp_path / "q.json").write_text(json.dumps(said))
    with pytest.raises(DataFileError, match="steps"):
        QualityTable.load(tmp_path / "q.json")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"steps": 0}, "steps"), ({"seeds": 0}, "seeds"), ({"shared": (6,)}, "shared"), ({"shared": ()}, "shared"),
        ({"bit_error_rates": (0.6,)}, "bit_error_rates"), ({"pairs": ()}, "pairs"),
    ],
)  # fmt: skip
def test_bad_studies(change, said):
    with pytest.raises(InvalidValueError, match=said):
        Study(**{"steps": 5, "shared": (1,)} | change)


def test_distances_against_their_formulas(model):
    pictures = model.decode(model.begin([1, 2], 2, scheduler="ddim"))
    found = distance(pictures, pictures[::-1])
    a, b = (np.asarray(p, float) / 255 for p in pictures)
    mse = ((a - b) ** 2).mean()
    assert found["mse"] == pytest.approx([mse, mse], rel=1e-5)
    assert found["psnr_db"] == pytest.approx([-10 * np.log10(mse)] * 2, rel=1e-5)
    same = distance(pictures, pictures)
    assert same["mse"] == [0, 0]
    assert same["ssim"] == pytest.approx([1, 1], abs=1e-6)
    with pytest.raises(InvalidValueError, match="one size"):
        to_tensor([pictures[0], pictures[0].resize((8, 8))])
    with pytest.raises(InvalidValueError, match="pair up"):
        distance(pictures, pictures[:1])


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A tiny CLIP with random weights, in the format of a real one."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizerFast

    folder = tmp_path_factory.mktemp("clip")
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(letter + "</w>" for letter in letters)]
    inner = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, [], end_of_word_suffix="</w>"))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    text = {"vocab_size": len(words), "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
            "num_attention_heads": 2, "max_position_embeddings": 40, "eos_token_id": 1, "bos_token_id": 0,
            "pad_token_id": 1}  # fmt: skip
    vision = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
              "image_size": 32, "patch_size": 16}  # fmt: skip
    torch.manual_seed(0)
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)).save_pretrained(folder)
    tokenizer = CLIPTokenizerFast(
        tokenizer_object=inner, model_max_length=40, unk_token="<|endoftext|>", bos_token="<|startoftext|>",
        eos_token="<|endoftext|>", pad_token="<|endoftext|>",
    )  # fmt: skip
    size = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    CLIPProcessor(CLIPImageProcessor(**size), tokenizer).save_pretrained(folder)
    return str(folder)


def test_clip_judges(clip, model):
    from transformers import CLIPModel, CLIPProcessor

    pictures, prompts = model.decode(model.begin([1, 2], 2)), ["an apple", "a tree near a river"]
    judged = make_judge(clip)(pictures, prompts)
    processor, network = CLIPProcessor.from_pretrained(clip), CLIPModel.from_pretrained(clip).eval()
    for picture, prompt, found in zip(pictures, prompts, judged, strict=True):
        with torch.no_grad():
            out = network(**processor(text=[prompt], images=[picture], return_tensors="pt"))
        cosine = float((out.image_embeds @ out.text_embeds.T)[0, 0])
        assert found == pytest.approx(max(cosine, 0), abs=1e-5)


def test_what_is_no_clip(tmp_path):
    with pytest.raises(UnsupportedError, match="CLIP model"):
        make_judge(str(tmp_path))
