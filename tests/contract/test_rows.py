"""Each rule of the original API reference, and the tests that prove it.

A missing or renamed test fails here.
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
        "unit/test_auth.py::test_a_request_without_a_valid_token_gets_401",
    ],
    "POST 201: the cart": [f"{ADD}::test_the_documented_add_returns_the_documented_cart"],
    "POST of a product that is there updates its quantity": [
        f"{ADD}::test_a_second_add_of_a_product_adds_units_and_replaces_its_details",
    ],
    "POST 200: insufficient stock": [
        f"{ADD}::test_insufficient_stock_names_the_available_units_and_changes_nothing",
    ],
    "POST 400: validation error": [
        f"{VALIDATION}::test_an_invalid_field_is_named_with_its_rule",
        f"{VALIDATION}::test_a_missing_field_is_named",
    ],
    "POST 409: operation already in progress": [f"{OUTCOMES}::test_a_busy_cart_gets_409"],
    "POST 500: server error": [
        f"{OUTCOMES}::test_an_unexpected_error_gets_500_without_details",
    ],
    "GET own cart 200": [f"{ADD}::test_a_read_returns_the_cart_of_the_reply"],
    "GET own cart 404": [f"{OUTCOMES}::test_a_user_without_a_cart_gets_404"],
    "PUT 200: more reserves": [f"{ROUTES}::test_an_increase_reserves_the_difference"],
    "PUT 200: less releases": [f"{ROUTES}::test_a_decrease_releases_the_difference"],
    "PUT 0: use DELETE": [f"{ROUTES}::test_an_update_that_is_refused_names_the_reason"],
    "PUT 400: missing productId or quantity": [
        f"{ROUTES}::test_an_update_that_is_refused_names_the_reason",
    ],
    "PUT 404: cart or item not found": [
        f"{ROUTES}::test_the_cart_of_another_user_looks_like_a_missing_one",
        f"{ROUTES}::test_an_update_that_is_refused_names_the_reason",
    ],
    "PUT 500, here 400: insufficient inventory": [
        f"{ROUTES}::test_an_update_that_is_refused_names_the_reason",
    ],
    "DELETE 200": [f"{ROUTES}::test_a_removal_empties_the_cart_and_releases_the_units"],
    "DELETE 400: missing productId": [
        f"{ROUTES}::test_a_removal_empties_the_cart_and_releases_the_units",
    ],
    "DELETE 404": [f"{ROUTES}::test_the_cart_of_another_user_looks_like_a_missing_one"],
    "GET all carts 200: page, limit, the envelope": [
        f"{ROUTES}::test_the_admin_list_is_paged_and_filtered",
        "integration/test_admin_list.py::test_no_combination_of_filters_scans_the_collection_or_sorts",
    ],
    "GET cart by id 200": [f"{ROUTES}::test_an_admin_reads_and_changes_the_carts_of_the_store"],
    "GET cart by id 404": [f"{ROUTES}::test_the_cart_of_another_user_looks_like_a_missing_one"],
    "GET /health": ["unit/test_api_health.py::test_health_names_the_systems_that_are_down"],
    "errors: validation, 400 with field and message": [
        f"{VALIDATION}::test_all_invalid_fields_are_named_at_once",
    ],
    "errors: not found, 404": [f"{ROUTES}::test_the_cart_of_another_user_looks_like_a_missing_one"],
    "errors: inventory, insufficient stock": [
        f"{OUTCOMES}::test_each_outcome_has_its_status_and_body",
    ],
    "errors: concurrent operation, 409": [f"{OUTCOMES}::test_a_busy_cart_gets_409"],
    "retry: 5xx is safe to repeat with the same key": [
        "integration/test_undo.py::test_a_failed_reserve_is_undone_and_its_key_can_be_used_again",
        f"{OUTAGES}::test_without_mongodb_no_operation_is_half_done",
    ],
    "retry: the same key has one effect": [
        f"{ADD}::test_a_repeated_key_gets_the_same_reply_and_reserves_nothing",
        f"{ROUTES}::test_a_repeated_key_gets_the_same_reply_on_every_route",
    ],
    "service: MongoDB transactions are tried again": [
        f"{OUTAGES}::test_cart_and_holds_agree_after_mongodb_was_killed_during_a_saga",
    ],
    "service: Kafka is tried again": [
        f"{OUTAGES}::test_without_kafka_adds_go_on_as_fast_and_events_follow",
    ],
    "service: inventory calls time out": [
        f"{OUTAGES}::test_without_the_inventory_adds_get_503_and_reads_work",
    ],
}


@pytest.mark.parametrize("row", ROWS)
def test_each_rule_has_its_tests(row: str, project_root: Path) -> None:
    for place in ROWS[row]:
        module, _, name = place.partition("::")
        tree = ast.parse((project_root / "tests" / module).read_text())
        names = {
            node.name
            for node in tree.body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        assert name in names, place
