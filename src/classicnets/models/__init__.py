"""The networks: one file per paper, independent of each other."""


def __getattr__(name: str) -> object:
    raise AttributeError(
        f"module 'classicnets.models' has no attribute {name!r}; the networks are functions of "
        'classicnets itself, as in classicnets.resnet50(classes=10) or build("resnet50")'
    )
