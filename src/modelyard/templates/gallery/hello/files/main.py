"""Prints the parameters of the job, each of which is an environment variable."""

import os

DEFAULTS = {"GREETING": "Hello", "NAME": "world", "TIMES": "1", "LOUD": "false"}


def main() -> None:
    parameters = {name: os.environ.get(name, default) for name, default in DEFAULTS.items()}
    for name, value in parameters.items():
        print(f"{name}={value}")
    text = f"{parameters['GREETING']}, {parameters['NAME']}!"
    if parameters["LOUD"] == "true":
        text = text.upper()
    for _ in range(int(float(parameters["TIMES"]))):
        print(text)


if __name__ == "__main__":
    main()
