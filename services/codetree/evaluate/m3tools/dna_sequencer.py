"""Tools of M3ToolEval's dna_sequencer family, written anew from their described behaviour."""

from __future__ import annotations

_CODONS = {"AUG": "Methionine", "UUU": "Phenylalanine", "UUC": "Phenylalanine"}
_DNA_TO_MRNA = str.maketrans("ACGT", "UGCA")
_MRNA_TO_DNA = str.maketrans("UCAG", "AGTC")


def count_nucleotides(dna_sequence: str) -> dict[str, int]:
    """Counts the occurrences of each nucleotide in a DNA sequence. Arguments: dna_sequence (str)."""
    return {letter: dna_sequence.count(letter) for letter in dict.fromkeys(dna_sequence)}


def transcribe_dna_to_mrna(dna_sequence: str) -> str:
    """Transcribes DNA sequence to mRNA. Arguments: dna_sequence (str)."""
    return dna_sequence.translate(_DNA_TO_MRNA)


def translate_mrna_to_amino_acid(mrna_sequence: str) -> str:
    """Translates mRNA sequence to a chain of amino acids. Arguments: mrna_sequence (str)."""
    codons = [mrna_sequence[start : start + 3] for start in range(0, len(mrna_sequence), 3)]
    return "-".join(_CODONS.get(codon, "X") for codon in codons)


def find_max_nucleotide(*args: str | int) -> tuple[str, int]:
    """Return the nucleotide (str) with the maximum count (int).

    Arguments: nucleotide_counts in the form of (k1, v1, k2, v2, ..., kn, vn)
    """
    pairs = [(str(name), int(count)) for name, count in zip(args[::2], args[1::2], strict=True)]
    return max(pairs, key=lambda pair: pair[1])


def is_valid_dna_sequence(dna_sequence: str) -> bool:
    """Checks if the DNA sequence is valid. Arguments: dna_sequence (str)."""
    return set(dna_sequence) <= set("ACGT")


def reverse_transcribe_mrna_to_dna(mrna_sequence: str) -> str:
    """Reverse transcribes mRNA sequence to DNA. Arguments: mrna_sequence (str)."""
    return mrna_sequence.translate(_MRNA_TO_DNA)
