// Buys with the client that oapi-codegen generates.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"example.com/shop/client"
)

var (
	store  = os.Getenv("CART_STORE")
	strict = "handling=strict"
)

func check(fact bool, what string, seen ...any) {
	if !fact {
		panic(fmt.Sprint(append([]any{what, ": "}, seen...)...))
	}
}

func must[T any](value T, err error) T {
	check(err == nil, "failed", err)
	return value
}

func as(token string) *client.ClientWithResponses {
	bearer := func(_ context.Context, request *http.Request) error {
		request.Header.Set("Authorization", "Bearer "+os.Getenv(token))
		return nil
	}
	editor := client.WithRequestEditorFn(bearer)
	return must(client.NewClientWithResponses(os.Getenv("CART_URL"), editor))
}

func item(product string, quantity int) client.AddItemRequest {
	images := []string{"https://example.com/image.jpg"}
	return client.AddItemRequest{
		ProductId:    product,
		ProductTitle: "Wireless Headphones",
		ProductPrice: 79.99,
		ProductImage: &images,
		Quantity:     quantity,
	}
}

func main() {
	ctx := context.Background()
	shopper, admin := as("CART_TOKEN"), as("CART_ADMIN_TOKEN")
	preferred := &client.AddItemParams{Prefer: &strict}

	added := must(shopper.AddItemWithResponse(ctx, store, preferred, item("headphones", 2)))
	check(added.JSON201 != nil, "added", string(added.Body))
	cart := *added.JSON201
	check(cart.TotalPrice == 159.98 && cart.CartItems[0].PriceSource == client.FromClient, "cart")
	check(cart.SellerId == nil, "no seller")

	refused := must(shopper.AddItemWithResponse(ctx, store, preferred, item("headphones", 50)))
	check(refused.JSON409 != nil, "refused", string(refused.Body))
	check(refused.JSON409.Code == client.ErrorCodeInsufficientStock, "code")
	check(*refused.JSON409.Available == 8, "8 available")

	change := client.UpdateQuantityRequest{ProductId: "headphones", Quantity: 5}
	updated := must(shopper.UpdateQuantityWithResponse(ctx, cart.UnderscoreId, nil, change))
	check(updated.JSON200.TotalPrice == 399.95, "updated", string(updated.Body))

	listed := must(admin.ListCartsWithResponse(ctx, store, nil))
	check(listed.JSON200.Data.TotalCount == 1, "listed", string(listed.Body))

	slow := must(shopper.AddItemWithResponse(ctx, store, preferred, item("lamp", 1)))
	check(slow.JSON202 != nil, "accepted", string(slow.Body))
	check(*slow.Headers202.Location != "", "location")
	ended := client.OperationStatus{Status: client.OperationStatusStatusPending}
	for tries := 0; ended.Status == client.OperationStatusStatusPending && tries < 60; tries++ {
		time.Sleep(500 * time.Millisecond)
		answer := must(shopper.GetOperationWithResponse(ctx, store, slow.JSON202.OperationId))
		ended = *answer.JSON200
	}
	check(ended.Status == client.OperationStatusStatusCommitted, "committed", ended)
	check(ended.Answer.Status == http.StatusCreated, "created")

	removed := must(shopper.RemoveItemByPathWithResponse(ctx, cart.UnderscoreId, "headphones", nil))
	check(removed.JSON200.Cart.Quantity == 1, "the lamp is left", string(removed.Body))

	cleared := must(shopper.ClearCartWithResponse(ctx, store, nil))
	check(cleared.JSON200.Message == "Cart cleared", "cleared", string(cleared.Body))

	missing := must(shopper.GetCartWithResponse(ctx, store, nil))
	check(missing.JSON404.Code == client.ErrorCodeCartNotFound, "missing", string(missing.Body))
	fmt.Println("done")
}
