"""Error rates of decoded sets: by sclite, by jiwer where sclite cannot, and read back from the files of both."""
