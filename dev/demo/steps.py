"""The day's steps, in order.

To add a step, write its function and name it here; it finds in the `Day` what came before.
"""

from dev.demo import others, shopper, upkeep
from dev.demo.day import Take

STEPS: tuple[Take, ...] = (
    shopper.health,
    shopper.stock_the_shop,
    shopper.no_cart_yet,
    shopper.add_two,
    shopper.add_two_again,
    shopper.stock_taken_once,
    shopper.key_for_something_else,
    shopper.add_one_more,
    shopper.look_at_the_cart,
    shopper.wants_five,
    shopper.wants_five_again,
    shopper.wants_three,
    shopper.more_than_there_is,
    shopper.more_than_a_cart_takes,
    shopper.bad_input,
    shopper.without_token,
    shopper.the_last_one,
    shopper.two_buyers,
    shopper.admin_looks,
    shopper.admin_reads_one,
    others.nobody_has_headphones,
    others.headphones_are_back,
    others.poster_is_ordered,
    upkeep.somebody_forgets_a_cart,
    upkeep.forgotten_cart_expires,
    upkeep.a_hold_is_lost,
    upkeep.lost_hold_is_repaired,
    shopper.removes_the_headphones,
    shopper.clears_the_cart,
    shopper.no_cart_any_more,
    shopper.stock_adds_up,
)
