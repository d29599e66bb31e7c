"""Write text that a submission may have printed as a block of code that nothing in it can end.

python comment.py < table.txt > comment.md
"""

from __future__ import annotations

import re
import sys

LONGEST = 20_000  # characters; GitHub takes 65,536 in a comment


def block(text: str) -> str:
    """The text between fences longer than any in it, without control characters."""
    plain = "".join(character for character in text if character.isprintable() or character == "\n")
    if len(plain) > LONGEST:
        plain = f"{plain[:LONGEST]}\n(cut after {LONGEST:,} characters)"
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", plain))])
    return f"{fence}text\n{plain.rstrip()}\n{fence}\n"


if __name__ == "__main__":
    print("What the checks printed; a submission may have written parts of it.\n")
    print(block(sys.stdin.read()), end="")
