def make() -> None:
    raise NotImplementedError
