"""What travels and what is stored. Imports nothing, so that a workflow module can import
`models.messages` without pulling in Beanie."""
