package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// indexedClient asks the API server where the operator asks its cache, and finds what the cache has an index for.
type indexedClient struct {
	client.Client
	connections *Connections
}

func (c indexedClient) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	asked := (&client.ListOptions{}).ApplyOptions(options)
	if asked.FieldSelector == nil {
		return c.Client.List(ctx, list, options...)
	}
	wanted := func(index string) (string, bool) { return asked.FieldSelector.RequiresExactMatch(index) }
	everything := *asked
	everything.FieldSelector = fields.Everything()
	switch list := list.(type) {
	case *v1alpha1.ClientBindingList:
		if name, ok := wanted(connectionIndex); ok {
			err := c.Client.List(ctx, list, &everything)
			list.Items = slices.DeleteFunc(list.Items, func(b v1alpha1.ClientBinding) bool {
				return !slices.Contains(namesOf(c.connections.Of(&b)), name)
			})
			return err
		}
		if account, ok := wanted(accountIndex); ok {
			err := c.Client.List(ctx, list, &everything)
			list.Items = slices.DeleteFunc(list.Items, func(b v1alpha1.ClientBinding) bool {
				return !slices.Contains(c.connections.indexes()[accountIndex](&b), account)
			})
			return err
		}
		if relation, ok := wanted(relationIndex); ok {
			user, cuid, _ := strings.Cut(relation, "/")
			everything.FieldSelector = fields.SelectorFromSet(fields.Set{"spec.userUUID": user, "spec.cuid": cuid})
			return c.Client.List(ctx, list, &everything)
		}
	default:
		return fmt.Errorf("the cache has no index of %T", list)
	}
	return c.Client.List(ctx, list, options...)
}
