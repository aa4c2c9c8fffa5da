// Lists, watches with bookmarks, patches and meets errors, as Go programs do on a cluster: typed clients send protobuf.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	coordination "k8s.io/api/coordination/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

func must(what string, err error) {
	if err != nil {
		fmt.Println(what, err)
		os.Exit(1)
	}
}

func expect(what string, holds bool) {
	if !holds {
		fmt.Println("not so:", what)
		os.Exit(1)
	}
}

// follow prints the name of each pool and of each Secret that its informers show, until it has seen both called "after".
func follow(ctx context.Context, config *rest.Config) {
	dyn, err := dynamic.NewForConfig(config)
	must("dynamic", err)
	seen := make(chan string)
	tell := func(kind string) cache.ResourceEventHandlerFuncs {
		return cache.ResourceEventHandlerFuncs{AddFunc: func(added any) {
			object, err := apimeta.Accessor(added)
			must("object", err)
			seen <- kind + " " + object.GetName()
		}}
	}
	pools := dynamicinformer.NewFilteredDynamicSharedInformerFactory(dyn, 0, "default", nil).ForResource(resource).Informer()
	_, err = pools.AddEventHandler(tell("pool"))
	must("handler", err)
	go pools.Run(ctx.Done())
	// A typed client, in protobuf.
	typed := rest.CopyConfig(config)
	typed.ContentType = "application/vnd.kubernetes.protobuf"
	client, err := kubernetes.NewForConfig(typed)
	must("client", err)
	secrets := cache.NewSharedInformer(cache.NewListWatchFromClient(client.CoreV1().RESTClient(), "secrets", "default", fields.Everything()), &core.Secret{}, 0)
	_, err = secrets.AddEventHandler(tell("secret"))
	must("handler", err)
	go secrets.Run(ctx.Done())
	for left := 2; left > 0; {
		select {
		case line := <-seen:
			fmt.Println(line)
			if strings.HasSuffix(line, " after") {
				left--
			}
		case <-ctx.Done():
			must("what is made after the restart", ctx.Err())
		}
	}
}

var resource = schema.GroupVersionResource{Group: "poolkeeper.dev", Version: "v1alpha1", Resource: "containerpools"}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	must("config", err)
	if len(os.Args) > 1 && os.Args[1] == "follow" {
		follow(ctx, config)
		return
	}
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	client, err := kubernetes.NewForConfig(config)
	must("client", err)

	// Typed clients, in protobuf.
	_, err = client.CoreV1().Namespaces().Create(ctx, &core.Namespace{ObjectMeta: meta.ObjectMeta{Name: "go"}}, meta.CreateOptions{})
	must("namespace", err)
	secret, err := client.CoreV1().Secrets("go").Create(ctx, &core.Secret{ObjectMeta: meta.ObjectMeta{Name: "s", Labels: map[string]string{"a": "b"}}, Data: map[string][]byte{"k": {0, 1, 255}}}, meta.CreateOptions{})
	must("secret", err)
	expect("bytes", secret.Data["k"][2] == 255 && secret.Labels["a"] == "b")
	secret.StringData = map[string]string{"t": "text"}
	secret, err = client.CoreV1().Secrets("go").Update(ctx, secret, meta.UpdateOptions{})
	must("update", err)
	expect("stringData", string(secret.Data["t"]) == "text")
	now, seconds, holder := meta.NowMicro(), int32(15), "me"
	lease := &coordination.Lease{ObjectMeta: meta.ObjectMeta{Name: "l"}, Spec: coordination.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, RenewTime: &now}}
	lease, err = client.CoordinationV1().Leases("go").Create(ctx, lease, meta.CreateOptions{})
	must("lease", err)
	expect("microseconds", lease.Spec.RenewTime.UnixMicro() == now.UnixMicro())
	lock := &resourcelock.LeaseLock{LeaseMeta: meta.ObjectMeta{Namespace: "go", Name: "lock"}, Client: client.CoordinationV1(), LockConfig: resourcelock.ResourceLockConfig{Identity: "me"}}
	must("lock", lock.Create(ctx, resourcelock.LeaderElectionRecord{HolderIdentity: "me", LeaseDurationSeconds: 15, AcquireTime: meta.Now(), RenewTime: meta.Now()}))
	_, err = client.CoreV1().Secrets("go").Get(ctx, "none", meta.GetOptions{})
	expect("not found", errors.IsNotFound(err))
	_, err = client.CoreV1().Secrets("go").Create(ctx, secret, meta.CreateOptions{})
	expect("a version on create", err != nil)
	lease.ResourceVersion = "1"
	_, err = client.CoordinationV1().Leases("go").Update(ctx, lease, meta.UpdateOptions{})
	expect("conflict", errors.IsConflict(err))
	uid := types.UID("other")
	err = client.CoreV1().Secrets("go").Delete(ctx, "s", meta.DeleteOptions{Preconditions: &meta.Preconditions{UID: &uid}})
	expect("precondition", errors.IsConflict(err))

	// Pools by the dynamic client, and what informers do.
	config.ContentType, config.AcceptContentTypes = "", ""
	dyn, err := dynamic.NewForConfig(config)
	must("dynamic", err)
	pools := dyn.Resource(resource).Namespace("go")
	pool := func(name string) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "poolkeeper.dev/v1alpha1", "kind": "ContainerPool", "metadata": map[string]any{"name": name}, "spec": map[string]any{"runtime": "Process", "min": int64(0), "paused": true}}}
	}
	for _, name := range []string{"a", "b", "c"} {
		_, err = pools.Create(ctx, pool(name), meta.CreateOptions{})
		must("pool", err)
	}
	_, err = pools.Create(ctx, pool("a"), meta.CreateOptions{})
	expect("exists", errors.IsAlreadyExists(err))
	page, err := pools.List(ctx, meta.ListOptions{Limit: 2})
	must("page", err)
	rest, err := pools.List(ctx, meta.ListOptions{Limit: 2, Continue: page.GetContinue()})
	must("rest", err)
	expect("pages", len(page.Items) == 2 && len(rest.Items) == 1)
	version := page.GetResourceVersion()
	_, err = pools.Patch(ctx, "a", types.MergePatchType, []byte(`{"spec":{"max":3}}`), meta.PatchOptions{})
	must("patch", err)
	_, err = pools.Patch(ctx, "a", types.JSONPatchType, []byte(`[{"op":"replace","path":"/spec/max","value":4}]`), meta.PatchOptions{})
	must("json patch", err)
	_, err = pools.Patch(ctx, "a", types.MergePatchType, []byte(`{"spec":{"max":0}}`), meta.PatchOptions{})
	expect("invalid", errors.IsInvalid(err))
	_, err = pools.Apply(ctx, "a", pool("a"), meta.ApplyOptions{FieldManager: "go"})
	expect("apply", errors.IsUnsupportedMediaType(err))
	timeout := int64(1)
	events, err := pools.Watch(ctx, meta.ListOptions{ResourceVersion: version, AllowWatchBookmarks: true, TimeoutSeconds: &timeout, FieldSelector: "metadata.name=a"})
	must("watch", err)
	var modified, bookmarks int
	for event := range events.ResultChan() {
		switch event.Type {
		case watch.Modified:
			modified++
		case watch.Bookmark:
			bookmarks++
		}
	}
	expect("watch", modified >= 2 && bookmarks >= 1)
	events, err = pools.Watch(ctx, meta.ListOptions{ResourceVersion: "1"})
	if err == nil {
		event := <-events.ResultChan()
		err = errors.FromObject(event.Object)
	}
	expect("gone", errors.IsResourceExpired(err) || errors.IsGone(err))
	informers := dynamicinformer.NewFilteredDynamicSharedInformerFactory(dyn, 0, "go", nil)
	informer := informers.ForResource(resource).Informer()
	informers.Start(ctx.Done())
	expect("informer", cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) && len(informer.GetStore().List()) == 3)
	must("delete", client.CoreV1().Namespaces().Delete(ctx, "go", meta.DeleteOptions{}))
	for len(informer.GetStore().List()) > 0 {
		time.Sleep(50 * time.Millisecond)
		must("the pools go with the namespace", ctx.Err())
	}
	fmt.Println("done")
}
