"""Beam search over CTC outputs on a GPU, by torchaudio's CUDA decoder."""

import torch
from torch import Tensor

from espnet_ext.decode.greedy import BLANK_ID, Hypothesis
from espnet_ext.decode.model import CTCModel
from espnet_ext.errors import UserError


class CudaBeamSearch:
    """Callable in the place of `espnet_ext.decode.greedy.best_paths`; over any tokens, without lexicon and n-gram.

    Frames in which the blank has a probability of more than 0.95 are skipped, as torchaudio does by default.

    Args:
        model: whose tokens are decoded.
        beam_size: hypotheses kept after each frame.

    Raises:
        UserError: the model is not on a GPU, or its blank is not token 0, the only one that the decoder knows.
    """

    def __init__(self, model: CTCModel, beam_size: int):
        if next(model.model.parameters()).device.type != "cuda":
            raise UserError(
                "--search cuda_beam searches on a GPU: give --ngpu 1 (run.sh: --gpu_inference true), or --search beam"
            )
        if model.model.blank_id != BLANK_ID:
            raise UserError(f"--search cuda_beam needs a model whose blank is token {BLANK_ID}; give --search beam")
        from torchaudio.models.decoder import cuda_ctc_decoder

        self._decoder = cuda_ctc_decoder(list(model.model.token_list), nbest=1, beam_size=beam_size)

    def __call__(self, log_probs: Tensor, lengths: Tensor) -> list[Hypothesis]:
        """Returns the best hypothesis of each utterance.

        Args:
            log_probs: (B, T, V) float, on the GPU.
            lengths: (B,) number of valid frames, int.
        """
        found = self._decoder(log_probs.float().contiguous(), lengths.to(log_probs.device, torch.int32))
        return [Hypothesis([int(token) for token in best.tokens], float(best.score)) for (best,) in found]
