"""One recipe: from a corpus and a large CTC model to several small ones, trained, decoded, scored, packed.

options, words   what a user may say; names: where that is made
recipe           the run: its stages, and how it calls asr.sh and cmd.sh
checks, configs  what can be found wrong before any work
data             stages 1-10; train, students, encrl: 11; decode, scoring: 12-13; results: the tables; publish: 14-15
jobs, processes  several models at once, locks, interrupts; display: what the terminal shows
digests, lineage, adopt  what an experiment was made of (espnet_ext.record keeps it), and which one serves
"""
