"""Validates crates with the public validator, in a process of its own and without a network:
``python validate.py CRATE…``; prints a line of JSON for each.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import rocrate
from rocrate_validator import models, services
from rocrate_validator.utils import document_loader, http

PROFILE = 'provenance-run-crate'
# The terms of https://w3id.org/ro/terms/workflow-run/context.
TERMS = (
    'ParameterConnection connection sourceParameter targetParameter sha1 sha256 sha512 md5 '
    'registry tag resourceUsage environment containerImage '
    'ContainerImage DockerImage SIFImage buildInstructions'
).split()


def document(url: str) -> Any:
    """What would be fetched: the contexts, as packages of the same people carry them."""
    if url.startswith('https://w3id.org/ro/crate/'):
        vocabulary = json.loads(
            (Path(rocrate.__file__).parent / 'data' / 'ro-crate.jsonld').read_text()
        )
        # That is a later version; these terms were called otherwise in 1.1.
        vocabulary['@context'] |= {
            term: f'https://bioschemas.org/{term}'
            for term in ('ComputationalWorkflow', 'FormalParameter')
        }
        vocabulary['@context'] |= {
            term: f'https://bioschemas.org/ComputationalWorkflow#{term}'
            for term in ('input', 'output')
        }
        return vocabulary
    if url == 'https://w3id.org/ro/terms/workflow-run/context':
        return {
            '@context': {term: f'https://w3id.org/ro/terms/workflow-run#{term}' for term in TERMS}
        }
    raise LookupError(f'nobody should ask for {url}')


class Response:
    """What would be answered."""

    status_code = 200
    from_cache = True

    def __init__(self, url: str) -> None:
        self.url = url
        self.text = json.dumps(document(url))
        self.headers = {'Content-Type': 'application/ld+json'}

    def json(self) -> Any:
        return json.loads(self.text)


def main() -> None:
    document_loader._fetch_json_ld = document
    http.HttpRequester.get = lambda self, url, **kwargs: Response(url)
    document_loader.install_document_loader()
    for crate in sys.argv[1:]:
        settings = services.ValidationSettings(
            rocrate_uri=crate,
            profile_identifier=PROFILE,
            requirement_severity=models.Severity['REQUIRED'],
            abort_on_first=False,
        )
        result = services.validate(settings)
        issues = [
            f'{issue.severity.name} {issue.check.identifier}: {issue.message}'
            for issue in result.get_issues()
        ]
        print(
            json.dumps(
                {'profile': PROFILE, 'checks': len(result.executed_checks), 'issues': issues}
            )
        )


if __name__ == '__main__':
    main()
