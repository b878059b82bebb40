"""Where Google keeps a model: its name is a part of the path."""

from urllib.parse import quote

COLLECTIONS = ("models", "tunedModels")


def resource_of(model: str) -> str:
    """The model's resource name: `models/NAME`, unless it is named as one of another collection."""
    collection, slash, name = model.partition("/")
    if slash and collection in COLLECTIONS:
        return f"{collection}/{quote(name, safe='')}"
    return f"models/{quote(model, safe='')}"


def path_of(model: str, task: str) -> str:
    """The path of what is to be done with a model, behind the base URL."""
    return f"/{resource_of(model)}:{task}"
