"""One recipe: from a corpus and a large CTC model to several small ones trained, decoded, scored, packed."""
