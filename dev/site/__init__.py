"""The documents as a site: MkDocs calls `hooks` (mkdocs.yml), `check` finds dead links in what it
built.
"""
