"""Malformed files against every reader of linbench: nothing crashes, hangs, swallows memory or is executed.

    python -m benchmarks.fuzz                                  # 10,000 inputs, a few minutes on two cores
    python -m benchmarks.fuzz --inputs 500 --reader checkpoint --seed 3
    python -m benchmarks.fuzz --reader coco --seed 0 --only 117 --keep failures    # one input again

Run it from the repository. Each reader has valid inputs, small folders of files; an input is one of them after a few
mutations: of bytes, and of what the bytes mean (JSON values, PNG chunks, JPEG segments, TIFF entries, zip and tar
headers, pickle opcodes, safetensors headers). Seed, reader and number of an input determine it.

What becomes of an input is one of these; any of the lower six makes the exit code 1:

| outcome | what |
|---|---|
| ``read`` | the reader took it |
| ``fault`` | the reader named what is bad in it and went on |
| ``refused`` | an error that the reader documents, in one line that names the file |
| ``traceback`` | any other error, or the end of the process |
| ``unclear`` | a refusal of several lines, of over 2,000 characters, with control characters, or without the file |
| ``hang`` | over 5 s, not counting the time that the process waited for a core |
| ``memory`` | over 1 GiB more than before, resident or reserved, or a failed allocation, for inputs under 1 MiB |
| ``executed`` | a process, a connection, a write outside the input's folder, a call of the bait in hostile pickles |

With ``--keep FOLDER`` each failing input is written there with its traceback and the command that repeats it.
"""
