"""Fault tests: break a server, process or link at a chosen moment, then check the invariants.

proxy                     TCP proxy before a server: delay, cut, reset, swallow, stall
partial/                  systems that are partly sick: one product, store, cart, partition, message
call_hooks                in the worker and consumer: each adapter call asks the test what to do
worker_under_test, consumer_under_test
                          the production processes with those hooks
api_under_test            the production API, with the known bug that concerns reads
triggers                  in the test: answers the hooks; a trigger fires at one call of one cart
fault_catalog             faults and moments of a saga; `consumer_fault_catalog`: of the consumer
fault_injection           applies a fault at its moment, removes it and measures the recovery
rig                       a local stack with all of the above

cart_requests             what a shopper or an event asks of a cart, and the replies
shoppers                  simulated shoppers over HTTP, and the ledger of requests and replies
hold_watch                triggers the watch that releases what terminated runs have reserved
event_traffic             events of other services; `resending_producer` sends them

expected_carts            the carts that the committed requests lead to
published_events          all events that were published, from offset 0
observed_state            all that is stored, read without code of the service
invariants                what must be true of it; `checkout_invariants` has those about checkouts
                          and merges, `published_event_invariants` and `incoming_event_invariants`
                          those about events

matrix_block              one block of faults among sagas; `chaos`, `report`, `plot`: the long run
storm_block               one block of faults among incoming events; `storm`: the long run
load_block                buyers of a few units who check out, pay, cancel and merge, under faults;
                          `load_buyer`: one of them; `load_faults`: what breaks, and when; `load`:
                          the long run
known_bugs                builds with one known bug each, which the invariants must detect;
                          `known_bug_scenarios` has the sequence that shows each bug
"""
