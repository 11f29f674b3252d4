"""Work over many files: in several processes, on several machines, on Ray; nothing is lost when one of them dies."""
