"""Certificates of authorities, as people write them into site files. Pure."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from components import pem
from sitefile.problems import Unfit


def _certificates(text: str) -> str:
    try:
        return pem.certificates(text)
    except pem.NotPem as error:
        raise Unfit(
            str(error),
            "one or more PEM blocks `CERTIFICATE`, and nothing else",
            "copy the whole certificate of the authority; with `|` after the colon the line ends stay",
        ) from None


Certificates = Annotated[str, AfterValidator(_certificates), Field(examples=["-----BEGIN CERTIFICATE-----..."])]
