"""Partial faults: a system that works for all but one product, cart, partition or message.

faults        the vocabulary (`PartialFault`, `SickPart`), the catalog, and `applied`
rules         which requests on a link are sick, and what happens to them
mongodb, redis, kafka
              the wire formats: a proxy reads single requests, and refuses those that are sick
mix           shoppers of sick and of well carts, and what the well ones notice of a mix of faults
"""
