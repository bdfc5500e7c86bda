"""The fault kit: break anything at a chosen moment, and check what must hold whatever breaks.

proxy              between a process under test and a server: delay, cut, reset, swallow, stall
worker_under_test  the worker, which asks at every step what shall happen to it (`hooks`)
control            answers those questions: who is armed, for which cart, at which moment
catalog            the faults and the moments by name, and how each is done and healed
rig                a stack of its own with all of the above around it
traffic            buyers over HTTP, and a ledger of what each was told
observed           all that is stored, read without any code of the service
invariants         what must be true of it
matrix             faults at moments among sagas, chosen by a seed
load               a hundred buyers of one product, and nothing broken
chaos, report      the same as a long run with a report
known_bad          builds with one known mistake each, which the invariants must catch
"""
