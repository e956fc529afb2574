"""Trainings of a second: six utterances of noise, a teacher, two students."""

from pathlib import Path

import numpy as np
import soundfile
import yaml

from tests.tiny import TOKENS, model_conf, save_experiment


def make_data(root: Path) -> Path:
    """Writes data, a teacher and two students without batch norm, whose statistics DDP does not share."""
    rng = np.random.default_rng(0)
    shapes, scp, text = [], [], []
    for i, seconds in enumerate((1.0, 0.9, 0.8, 0.7, 0.6, 0.5)):
        samples = int(16000 * seconds)
        soundfile.write(root / f"utt{i}.wav", rng.standard_normal(samples) * 0.1, 16000)
        scp.append(f"utt{i} {root}/utt{i}.wav")
        shapes.append(f"utt{i} {samples}")
        text.append(f"utt{i} a b")
    for name, lines in (("wav.scp", scp), ("shape", shapes), ("text", text), ("tokens.txt", TOKENS)):
        (root / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    conf = {"dropout_rate": 0.0, "use_cnn_module": False, "positional_dropout_rate": 0.0, "attention_dropout_rate": 0.0}
    save_experiment(root / "teacher", **model_conf(3, **conf))
    for name, layers in (("e2", 2), ("e1", 1)):
        (root / f"{name}.yaml").write_text(yaml.safe_dump(model_conf(layers, **conf)))
    return root


def options(data: Path, epochs: int) -> list[str]:
    """Returns the options of any training on these data but `--output_dir`."""
    return f"""
        --token_list {data}/tokens.txt --token_type char --resume true --num_att_plot 0
        --train_data_path_and_name_and_type {data}/wav.scp,speech,sound
        --train_data_path_and_name_and_type {data}/text,text,text
        --valid_data_path_and_name_and_type {data}/wav.scp,speech,sound
        --valid_data_path_and_name_and_type {data}/text,text,text
        --train_shape_file {data}/shape --valid_shape_file {data}/shape --batch_type sorted --batch_size 3
        --max_epoch {epochs} --optim adam --optim_conf lr=0.001 --scheduler warmuplr --num_workers 0
        --keep_nbest_models 2 --use_tensorboard false --use_matplotlib false --grad_clip 1000
    """.split()


def encrl_options(data: Path, epochs: int) -> list[str]:
    """Returns the options of an EncRL training of both students."""
    return [*f"--teacher {data}/teacher --students e2={data}/e2.yaml e1={data}/e1.yaml".split(), *options(data, epochs)]
