"""Tokens of teachers beside those of students: which is which, whatever they are called and wherever the blank is.

ESPnet's CTC has the blank first, an unknown token, and in its lists `<sos/eos>`; other libraries have the blank where
they like, `|` between words, and tokens that stand for no text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from espnet_ext.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

BLANK, UNKNOWN, SPACE, END = "<blank>", "<unk>", "<space>", "<sos/eos>"


@dataclass(frozen=True)
class Tokens:
    """What a CTC head distinguishes.

    Attributes:
        symbols: in the order of the posteriors, as the model calls them.
        blank: position of CTC's blank.
        kind: how text is made of them, a token type of ESPnet: bpe, char or word; None: in another way.
        unknown: position of the token for what has none; None: there is none.
        space: position of a token that stands between words; None: there is none.
        no_text: positions of further tokens that stand for no text, such as languages.
    """

    symbols: tuple[str, ...]
    blank: int
    kind: str | None = None
    unknown: int | None = None
    space: int | None = None
    no_text: frozenset[int] = frozenset()

    def names(self) -> list[str | None]:
        """Returns them as lists of ESPnet call them; None for those that stand for no text."""
        names = [None if place in self.no_text else symbol for place, symbol in enumerate(self.symbols)]
        for place, name in ((self.unknown, UNKNOWN), (self.space, SPACE), (self.blank, BLANK)):
            if place is not None:
                names[place] = name
        return names

    def token_list(self) -> list[str]:
        """Returns the list of students whose posteriors are to be compared with these; that of ESPnet is the same."""
        text = [name for place, name in enumerate(self.names()) if name is not None and place != self.blank]
        first = [BLANK] if UNKNOWN in text else [BLANK, UNKNOWN]
        return [*first, *text, *([] if END in text else [END])]


@dataclass(frozen=True)
class TokenMap:
    """Makes of a teacher's posteriors those of the students' tokens.

    Attributes:
        order: for each token of the students the teacher's, `len(symbols)` where it has none.
        folded: the teacher's tokens that students do not have, because they stand for no text.
        blank: the teacher's blank.
    """

    order: tuple[int, ...]
    folded: tuple[int, ...]
    blank: int

    def __call__(self, logits: "Tensor") -> "Tensor":
        """Returns logits of the students' tokens.

        A token that stands for no text is blank to the students. One that the teacher lacks is as improbable as the
        least probable one that both have.

        Args:
            logits: (B, T, V teacher) float.
        """
        import torch

        if self.folded:
            silent = logits[..., [self.blank, *self.folded]].logsumexp(dim=-1)
            logits = logits.clone()
            logits[..., self.blank] = silent
        size = logits.size(-1)
        if size in self.order:
            lowest = logits[..., [place for place in self.order if place < size]].amin(dim=-1, keepdim=True)
            logits = torch.cat([logits, lowest], dim=-1)
        return logits[..., list(self.order)]


def match_tokens(theirs: Tokens, ours: Sequence[str], blank: int, student: str, teacher: str) -> TokenMap | None:
    """Finds each token of a student among the teacher's.

    Args:
        theirs: of the teacher.
        ours: of the student.
        blank: position of the student's.
        student: what it is called in errors.
        teacher: what it is called in errors.

    Returns:
        How posteriors are made comparable; None where they are so already.

    Raises:
        UserError: one of them can say what the other cannot, or they differ in what is the blank.
    """
    size, names = len(theirs.symbols), theirs.names()
    places = {symbol: place for place, symbol in enumerate(theirs.symbols)}
    places |= {name: place for place, name in enumerate(names) if name is not None}
    order = [places.get(name, size) for name in ours]
    # What no text holds may be missing on either side.
    lacking = [name for name, place in zip(ours, order, strict=True) if place == size and name not in (UNKNOWN, END)]
    silent = theirs.no_text | {place for place, name in enumerate(names) if name in (UNKNOWN, END)}
    unused = set(range(size)) - set(order)
    spare = [theirs.symbols[place] for place in sorted(unused - silent)]
    found = [place for place in order if place < size]
    if lacking or spare or len(found) > len(set(found)):
        example = f"{student} alone has '{lacking[0]}'" if lacking else ""
        example = example or (f"the teacher alone has '{spare[0]}'" if spare else f"{student} has one of them twice")
        raise UserError(
            f"teacher {teacher} has {size} tokens, {student} {len(ours)}"
            f"{' (same number, other tokens)' if size == len(ours) else ''}: {example}"
        )
    if order[blank] != theirs.blank:
        raise UserError(f"the blank is token {theirs.blank} of teacher {teacher} and token {blank} of {student}")
    if order == list(range(size)):
        return None
    return TokenMap(tuple(order), tuple(sorted(unused)), theirs.blank)
