import java.util.List;
import org.openapitools.client.ApiClient;
import org.openapitools.client.ApiException;
import org.openapitools.client.api.AdminApi;
import org.openapitools.client.api.CartApi;
import org.openapitools.client.api.CartsApi;
import org.openapitools.client.api.OperationsApi;
import org.openapitools.client.model.AddItemRequest;
import org.openapitools.client.model.ErrorCode;
import org.openapitools.client.model.OperationStatus;
import org.openapitools.client.model.Problem;
import org.openapitools.client.model.UpdateQuantityRequest;

/** Buys with the Java client of OpenAPI Generator. */
public final class Shop {
  private static final String STORE = System.getenv("CART_STORE");
  private static final String STRICT = "handling=strict";

  interface Call {
    void run() throws ApiException;
  }

  static void check(boolean fact, String what) {
    if (!fact) throw new IllegalStateException(what);
  }

  static ApiClient as(String token) {
    ApiClient client = new ApiClient();
    client.updateBaseUri(System.getenv("CART_URL"));
    String bearer = "Bearer " + System.getenv(token);
    client.setRequestInterceptor(request -> request.header("Authorization", bearer));
    return client;
  }

  static AddItemRequest item(String product, int quantity) {
    return new AddItemRequest()
        .productId(product)
        .productTitle("Wireless Headphones")
        .productPrice(79.99)
        .productImage(List.of("https://example.com/image.jpg"))
        .quantity(quantity);
  }

  static Problem refusal(Call call, int status) throws Exception {
    try {
      call.run();
    } catch (ApiException refused) {
      check(refused.getCode() == status, "status " + refused.getCode());
      return ApiClient.createDefaultObjectMapper().readValue(refused.getResponseBody(), Problem.class);
    }
    throw new IllegalStateException("not refused");
  }

  public static void main(String[] arguments) throws Exception {
    ApiClient client = as("CART_TOKEN");
    CartApi carts = new CartApi(client);
    CartsApi byId = new CartsApi(client);
    OperationsApi operations = new OperationsApi(client);

    var cart = carts.addItem(STORE, item("headphones", 2), null, null, STRICT);
    check(cart.getTotalPrice() == 159.98, "two units");
    check(cart.getCartItems().get(0).getPriceSource().getValue().equals("client"), "line");
    String id = cart.getId();

    var problem = refusal(() -> carts.addItem(STORE, item("headphones", 50), null, null, STRICT), 409);
    check(problem.getCode() == ErrorCode.INSUFFICIENT_STOCK, "code");
    check(problem.getAvailable() == 8, "8 available");

    var change = new UpdateQuantityRequest().productId("headphones").quantity(5);
    var updated = byId.updateQuantity(id, change, null, null);
    check(updated.getTotalPrice() == 399.95, "updated");

    AdminApi admin = new AdminApi(as("CART_ADMIN_TOKEN"));
    var listed = admin.listCarts(STORE, null, 10, null, null, null, null, null);
    check(listed.getData().getTotalCount() == 1, "listed");

    var slow = carts.addItemWithHttpInfo(STORE, item("lamp", 1), null, null, STRICT);
    check(slow.getStatusCode() == 202, "accepted");
    String location = slow.getHeaders().get("location").get(0);
    String operation = location.substring(location.lastIndexOf('/') + 1);
    OperationStatus ended = operations.getOperation(STORE, operation);
    for (int tries = 0; ended.getStatus() == OperationStatus.StatusEnum.PENDING && tries < 60; tries++) {
      Thread.sleep(500);
      ended = operations.getOperation(STORE, operation);
    }
    check(ended.getStatus() == OperationStatus.StatusEnum.COMMITTED, "committed");
    check(ended.getAnswer().getStatus() == 201, "created");

    var removed = byId.removeItemByPath(id, "headphones", null, null);
    check(removed.getCart().getQuantity() == 1, "the lamp is left");

    check(carts.clearCart(STORE, null, null).getMessage().equals("Cart cleared"), "cleared");
    var missing = refusal(() -> carts.getCart(STORE, null), 404);
    check(missing.getCode() == ErrorCode.CART_NOT_FOUND, "missing");
    System.out.println("done");
  }
}
