r"""Chooses emission scale and word score of beam search on a development set, and writes them as a configuration.

The model runs once; every pair of values is a search over its outputs. Never give a test set: what is chosen on it, it
no longer measures.

Example:
    % python3 -m espnet_ext.bin.tune_decoding --exp_dir exp/asr_e4_encrl_raw_en_bpe256 --data_dir dump/raw/dev \
        --search lexicon --lexicon_text dump/raw/train/text --output conf/decode_lexicon_e4.yaml
"""

import argparse
from pathlib import Path

from espnet_ext.bin.ctc_decode import add_search_options, make_search
from espnet_ext.errors import UserError, run_main

_TUNED = ("emission_scale", "word_score")


def get_parser() -> argparse.ArgumentParser:
    """Returns the parser."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exp_dir", type=Path, required=True, help="Experiment directory, with config.yaml")
    parser.add_argument("--asr_model_file", help="File in --exp_dir (default: the best average that is there)")
    parser.add_argument("--data_dir", type=Path, required=True, help="Development set, with text")
    parser.add_argument("--audio_format", default="flac", help="Of a set without a file audio_format, as in asr.sh")
    parser.add_argument("--utterances", type=int, default=300, help="The first of the set")
    parser.add_argument("--emission_scales", nargs="+", type=float, default=[0.5, 1.0, 1.67, 3.0, 6.0])
    parser.add_argument("--word_scores", nargs="+", type=float, default=[-6.0, -3.0, 0.0, 3.0], help="Of a lexicon")
    parser.add_argument("--output", type=Path, required=True, help="YAML file for ctc_decode --config")
    add_search_options(parser, tuned=True)
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Searches with every pair of values."""
    args = get_parser().parse_args(cmd)
    if args.search not in ("beam", "lexicon"):
        raise UserError(f"--search {args.search} has no scores to tune; give beam or lexicon")
    import torch
    import yaml

    from espnet_ext.bin.score import read_text, score
    from espnet_ext.decode.greedy import best_paths, decode_batch
    from espnet_ext.decode.model import load_model
    from espnet_ext.decode.sets import DecodingSet
    from espnet_ext.files import atomic

    data = DecodingSet.open(args.data_dir, args.audio_format)
    references = {name: text for name, text in read_text(args.data_dir / "text").items() if text}
    names = [name for name in data.samples if name in references][: args.utterances]
    if not names:
        raise UserError(f"{args.data_dir / 'text'}: no utterance to tune on")
    references = {name: references[name] for name in names}
    model = load_model(args.exp_dir, args.asr_model_file, "cpu")
    data.check_rate(model.sample_rate)
    outputs: dict[str, torch.Tensor] = {}
    texts = {}

    def keep(log_probs: torch.Tensor, lengths: torch.Tensor) -> list:
        outputs[name] = log_probs[:, : int(lengths[0])]
        return best_paths(log_probs, lengths)

    for name in names:
        (found,) = decode_batch(model.model, [data.read(name)], keep)
        texts[name] = model.text(model.tokens(found.token_ids))
    print(f"greedy: WER {score(references, texts, {}).wer:.2f} % ({len(names)} utterances of {args.data_dir.name})")
    best = None
    word_scores = args.word_scores if args.search == "lexicon" else [0.0]
    for emission_scale in args.emission_scales:
        for word_score in word_scores:
            args.emission_scale, args.word_score = emission_scale, word_score
            search = make_search(args, model)
            for name, log_probs in outputs.items():
                (found,) = search(log_probs, torch.tensor([log_probs.size(1)]))
                texts[name] = model.text(model.tokens(found.token_ids))
            wer = score(references, texts, {}).wer
            print(f"emission_scale {emission_scale:g}, word_score {word_score:g}: WER {wer:.2f} %", flush=True)
            if best is None or wer < best[0]:
                best = wer, {key: getattr(args, key) for key in _TUNED}
    kept = ("search", "beam_size", "beam_threshold", "lm_weight", "log_add")
    values = {key: getattr(args, key) for key in kept} | best[1]
    if args.lm:
        values["lm"] = str(args.lm)
    with atomic(args.output) as temporary:
        found = f"{len(names)} utterances of {args.data_dir.name}, WER {best[0]:.2f} %"
        head = f"# Chosen by espnet_ext.bin.tune_decoding on {found}.\n"
        temporary.write_text(head + yaml.safe_dump(values), encoding="utf-8")
    print(f"written: {args.output}")


if __name__ == "__main__":
    run_main(main)
