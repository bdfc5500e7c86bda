"""The fault kit: break anything at a chosen moment, and check what must hold whatever breaks.

proxy              between a process under test and a server: delay, cut, reset, swallow, stall
worker_under_test, consumer_under_test
                   the workers and the consumer, which ask at every step what shall happen to them
                   (`hooks`)
control            answers those questions: who is armed, for which cart, at which moment
catalog            the faults and the moments by name, of sagas; `catalog_of_events` of the consumer
inject             how each fault is done at its moment, and healed
rig                a stack of its own with all of the above around it
wishes, traffic    what buyers ask for over HTTP, and a ledger of what each was told
arrivals, senders  what other services tell, and what must come of it
lives              what the committed requests make of each cart
observed           all that is stored, read without any code of the service
invariants         what must be true of it, of events that were told (`invariants_of_events`) and
                   heard (`invariants_of_arrivals`) too
matrix             faults at moments among sagas, chosen by a seed
heard              faults at moments of the consumer, among events of other services
load               a hundred buyers of one product, and nothing broken
chaos, report, plot  the matrix as a long run with a report
storm              events among faults as a long run
known_bad          builds with one known mistake each, which the invariants must catch
"""
