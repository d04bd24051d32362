"""The list of packages, which pyproject.toml cannot express: prompts/ is installed in genfilt."""

from setuptools import find_namespace_packages, setup

setup(
    packages=[*find_namespace_packages(include=["genfilt*", "trainer*"]), "genfilt.prompts"],
    package_dir={"genfilt.prompts": "prompts"},
)
