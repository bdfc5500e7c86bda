"""Each row of the original API reference, and the tests that prove it.

A row without a test, or a test that was renamed, fails here.
"""

import ast
from pathlib import Path

import pytest

ADD = "integration/test_add_item.py"
ROUTES = "integration/test_routes.py"
VALIDATION = "unit/test_api_validation.py"
OUTCOMES = "unit/test_api_outcomes.py"
OUTAGES = "integration/test_outages.py"

ROWS = {
    "every endpoint needs a bearer token": [
        "unit/test_auth.py::test_without_a_valid_token_nothing_is_done",
    ],
    "POST 201: the cart": [f"{ADD}::test_the_documented_add_answers_the_documented_cart"],
    "POST of a product that is there updates its quantity": [
        f"{ADD}::test_adding_a_product_again_sums_and_refreshes_its_line",
    ],
    "POST 200: insufficient stock": [
        f"{ADD}::test_too_little_stock_says_how_many_there_are_and_changes_nothing",
    ],
    "POST 400: validation error": [
        f"{VALIDATION}::test_a_field_that_breaks_its_rule_is_named_with_it",
        f"{VALIDATION}::test_required_fields_are_asked_for_by_name",
    ],
    "POST 409: operation already in progress": [f"{OUTCOMES}::test_a_busy_cart_answers_409"],
    "POST 500: server error": [
        f"{OUTCOMES}::test_what_nobody_foresaw_tells_nothing_of_the_inside",
    ],
    "GET own cart 200": [f"{ADD}::test_the_cart_reads_back_as_it_was_answered"],
    "GET own cart 404": [f"{OUTCOMES}::test_there_is_no_cart_before_the_first_add"],
    "PUT 200: more reserves": [f"{ROUTES}::test_more_reserves_the_difference"],
    "PUT 200: less releases": [f"{ROUTES}::test_less_gives_the_difference_back"],
    "PUT 0: use DELETE": [f"{ROUTES}::test_an_update_that_cannot_be_met_says_why"],
    "PUT 400: missing productId or quantity": [
        f"{ROUTES}::test_an_update_that_cannot_be_met_says_why",
    ],
    "PUT 404: cart or item not found": [
        f"{ROUTES}::test_a_foreign_cart_looks_like_none",
        f"{ROUTES}::test_an_update_that_cannot_be_met_says_why",
    ],
    "PUT 500, here 400: insufficient inventory": [
        f"{ROUTES}::test_an_update_that_cannot_be_met_says_why",
    ],
    "DELETE 200": [f"{ROUTES}::test_remove_empties_the_cart_and_frees_the_units"],
    "DELETE 400: missing productId": [
        f"{ROUTES}::test_remove_empties_the_cart_and_frees_the_units",
    ],
    "DELETE 404": [f"{ROUTES}::test_a_foreign_cart_looks_like_none"],
    "GET all carts 200: page, limit, the envelope": [
        f"{ROUTES}::test_the_admins_list_is_paged_and_filtered",
        "integration/test_admin_list.py::test_no_filter_reads_a_whole_collection_or_sorts",
    ],
    "GET cart by id 200": [f"{ROUTES}::test_an_admin_sees_and_steers_the_stores_carts"],
    "GET cart by id 404": [f"{ROUTES}::test_a_foreign_cart_looks_like_none"],
    "GET /health": ["unit/test_api_health.py::test_health_names_what_is_away"],
    "errors: validation, 400 with field and message": [
        f"{VALIDATION}::test_all_broken_rules_are_told_at_once",
    ],
    "errors: not found, 404": [f"{ROUTES}::test_a_foreign_cart_looks_like_none"],
    "errors: inventory, insufficient stock": [
        f"{OUTCOMES}::test_each_outcome_has_its_status_and_body",
    ],
    "errors: concurrent operation, 409": [f"{OUTCOMES}::test_a_busy_cart_answers_409"],
    "retry: 5xx is safe to repeat with the same key": [
        "integration/test_undo.py::test_a_failed_reserve_is_undone_and_the_same_key_tries_again",
        f"{OUTAGES}::test_without_mongodb_nothing_is_half_done",
    ],
    "retry: the same key has one effect": [
        f"{ADD}::test_the_same_key_gets_the_same_answer_and_takes_nothing_twice",
        f"{ROUTES}::test_a_key_is_answered_alike_on_every_route",
    ],
    "service: MongoDB transactions are tried again": [
        f"{OUTAGES}::test_mongodb_killed_during_a_saga_leaves_cart_and_holds_in_agreement",
    ],
    "service: Kafka is tried again": [
        f"{OUTAGES}::test_without_kafka_adds_go_on_as_fast_and_events_follow",
    ],
    "service: inventory calls time out": [
        f"{OUTAGES}::test_without_inventory_an_add_says_so_and_reading_works",
    ],
}


@pytest.mark.parametrize("row", ROWS)
def test_each_row_has_its_tests(row: str, project_root: Path) -> None:
    for place in ROWS[row]:
        module, _, name = place.partition("::")
        tree = ast.parse((project_root / "tests" / module).read_text())
        names = {
            node.name
            for node in tree.body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        assert name in names, place
