"""The fault kit: break anything at a chosen moment, and check what must hold whatever breaks.

proxy              between a process under test and a server: delay, cut, reset, swallow, stall
worker_under_test  the workers, which ask at every step what shall happen to them (`hooks`)
control            answers those questions: who is armed, for which cart, at which moment
catalog            the faults and the moments by name, and how each is done and healed
rig                a stack of its own with all of the above around it
wishes, traffic    what buyers ask for over HTTP, and a ledger of what each was told
lives              what the committed requests make of each cart
observed           all that is stored, read without any code of the service
invariants         what must be true of it
matrix             faults at moments among sagas, chosen by a seed
load               a hundred buyers of one product, and nothing broken
chaos, report, plot  the same as a long run with a report
known_bad          builds with one known mistake each, which the invariants must catch
"""
