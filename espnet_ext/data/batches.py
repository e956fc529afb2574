"""Batches of utterances of similar lengths."""


def make_batches(lengths: dict[str, int], max_samples: int, max_padding: float) -> list[list[str]]:
    """Groups utterances of similar lengths, the longest first.

    Args:
        lengths: Samples of each utterance.
        max_samples: Most samples in a batch, padding included; a longer utterance is a batch of its own.
        max_padding: Most padding of an utterance, as a share of the longest in its batch. What ESPnet's encoders make
            of the last frames depends a little on the padding behind them.
    """
    batches: list[list[str]] = []
    for name in sorted(lengths, key=lambda name: -lengths[name]):
        batch = batches[-1] if batches else None
        longest = lengths[batch[0]] if batch else 0
        fits = batch and (len(batch) + 1) * longest <= max_samples and lengths[name] >= (1 - max_padding) * longest
        if batch and fits:
            batch.append(name)
        else:
            batches.append([name])
    return batches
