"""The verbs of the command line: a parser and a handler each."""
