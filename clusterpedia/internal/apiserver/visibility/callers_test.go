package visibility

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
)

// However many searches one caller makes, with however many credentials, others go on, and
// what is under way of his is bounded.
func TestFairness(t *testing.T) {
	t.Parallel()
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprintf("ns-%03d", i))
	}
	synctest.Test(t, func(t *testing.T) {
		r := &rules{}
		c := checker(t, r, many...)
		blocked := make(chan struct{})
		w := &watched{UnconditionalAuthorizer: r, met: make(chan struct{}), answer: func(a authorizer.Attributes) {
			if a.GetUser().GetName() == "mallory" {
				<-blocked
			}
		}}
		c.Authorizer = w
		list := &apirequest.RequestInfo{IsResourceRequest: true, Verb: "list", APIVersion: "v1", Resource: "pods"}
		var searches sync.WaitGroup
		for i := range 5 * maxAtOnce {
			ctx := apirequest.WithUser(t.Context(), &user.DefaultInfo{Name: "mallory", Extra: map[string][]string{"credential": {fmt.Sprint(i)}}})
			searches.Go(func() {
				if c.Reach(ctx, "one", list) == nil {
					t.Error("it must be forbidden")
				}
			})
		}
		synctest.Wait()
		require.EqualValues(t, maxAtOnce, w.now.Load())
		require.Error(t, c.Reach(as(t, "bob"), "one", list), "nothing is blocked")

		ctx, cancel := context.WithCancel(as(t, "mallory"))
		cancel()
		require.ErrorIs(t, c.Reach(ctx, "one", list), context.Canceled)
		close(blocked)
		searches.Wait()
		require.LessOrEqual(t, w.most.Load(), int64(2*maxAtOnce))
	})
}

// What one caller asks for has nothing forgotten of another one.
func TestAnswersOfOthers(t *testing.T) {
	t.Parallel()
	r := &rules{allow: map[string]bool{"get pods one": true}}
	c := checker(t, r)
	pods := resource(t, c, "", "pods")
	require.NoError(t, c.Get(as(t, "alice"), pods, "one", "team"))
	for i := range maxAnswers + 10 {
		require.Error(t, c.Get(as(t, "mallory"), pods, fmt.Sprint("cluster-", i), ""))
	}
	before := r.asked.Load()
	require.NoError(t, c.Get(as(t, "alice"), pods, "one", "team"))
	require.Equal(t, before, r.asked.Load())
	require.Len(t, c.callers.get("mallory").answers.Keys(), maxAnswers)
}

// Callers who come no more are forgotten.
func TestForgottenCallers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCallers(10 * time.Second)
		first := c.get("alice")
		c.get("bob")
		<-time.After(minIdle)
		require.Same(t, first, c.get("alice"))
		<-time.After(minIdle/2 + time.Second)
		require.Same(t, first, c.get("alice"))
		<-time.After(minIdle/2 + time.Second)
		c.get("alice")
		require.Len(t, c.known, 1)
	})
}
