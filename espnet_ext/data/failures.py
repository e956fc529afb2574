"""What the log of a failed step means, in words that name the option to change."""

import re

# What a log holds, and what it means.
_KNOWN = (
    (
        r"no utterances remained",
        "no utterance is left after filtering: stage 4 keeps those between --min_wav_duration and --max_wav_duration "
        "that have a transcript",
    ),
    (
        r"Vocabulary size too high \((\d+)\)\. Please set it to a value <= (\d+)",
        "--nbpe {0}: the text is too little for so many tokens, it gives at most {1}; give --nbpe {1} or fewer, or "
        "--token_type char",
    ),
    (
        r"Vocabulary size is smaller than required_chars\. (\d+) vs (\d+)",
        "--nbpe {0}: the characters of the text alone are {1} tokens; give --nbpe {1} or more, or --token_type char",
    ),
    (
        r"\[!sentences_\.empty\(\)\]",
        "the text for the tokens is empty: look at the transcripts of the training set and at --bpe_train_text",
    ),
    (
        r"No space left on device|Disk quota exceeded",
        "the disk is full: free space, or give --expdir or --dumpdir on a larger one, and run again",
    ),
    (r"CUDA out of memory|OutOfMemoryError", "the GPU has too little memory: lower batch_bins in the configuration"),
    (
        # In the words of run.pl, of PyTorch, of the shell and of Slurm
        r"signal 9\b|SIGKILL|(?:exit|code|status)[ (]+(?:-9|137)\b|Killed\s*(?:$|\n)|oom[-_]kill"
        r"|DefaultCPUAllocator: can't",
        "the system killed it, mostly for lack of memory: lower batch_bins, --nj or --model_nj",
    ),
)


def explain(log: str) -> str | None:
    """Returns the cause and the remedy that the log of a failed step tells; None where it is none of the known ones."""
    for pattern, meaning in _KNOWN:
        if found := re.search(pattern, log):
            return meaning.format(*found.groups())
    return None
