// Package check reads the Kubernetes manifests as the API server would: each
// document into the type that it names, without a field that the type lacks,
// and looks at what must fit together in them.
package check

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// manifests returns all objects of the folder beside this one.
func manifests(t *testing.T) (all []runtime.Object) {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, appsv1.AddToScheme, policyv1.AddToScheme, networkingv1.AddToScheme, autoscalingv2.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	decoder := json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme, scheme, json.SerializerOptions{Yaml: true, Strict: true})
	files, err := filepath.Glob("../kubernetes/*.yaml")
	if err != nil || len(files) < 2 {
		t.Fatalf("manifests: %v %v", files, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		documents := yaml.NewDocumentDecoder(io.NopCloser(bytes.NewReader(b)))
		for {
			text := make([]byte, 1<<20)
			n, err := documents.Read(text)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			object, _, err := decoder.Decode(text[:n], nil, nil)
			if err != nil {
				t.Errorf("%s: %v", file, err)
				continue
			}
			all = append(all, object)
		}
	}
	return all
}

// only returns the one object of its type.
func only[T runtime.Object](t *testing.T, all []runtime.Object) (found T) {
	t.Helper()
	n := 0
	for _, o := range all {
		if one, ok := o.(T); ok {
			found, n = one, n+1
		}
	}
	if n != 1 {
		t.Fatalf("%d objects of type %T, want 1", n, found)
	}
	return found
}

func TestManifests(t *testing.T) {
	all := manifests(t)
	d := only[*appsv1.Deployment](t, all)
	pod := labels.Set(d.Spec.Template.Labels)

	for what, selector := range map[string]*metav1.LabelSelector{
		"Deployment":          d.Spec.Selector,
		"PodDisruptionBudget": only[*policyv1.PodDisruptionBudget](t, all).Spec.Selector,
		"NetworkPolicy":       &only[*networkingv1.NetworkPolicy](t, all).Spec.PodSelector,
		"Service":             {MatchLabels: only[*corev1.Service](t, all).Spec.Selector},
		"topology":            d.Spec.Template.Spec.TopologySpreadConstraints[0].LabelSelector,
	} {
		s, err := metav1.LabelSelectorAsSelector(selector)
		if err != nil || s.Empty() || !s.Matches(pod) {
			t.Errorf("%s: its selector %v does not match the pods: %v", what, s, err)
		}
	}
	for _, o := range all {
		if ns := o.(metav1.Object).GetNamespace(); ns != d.Namespace {
			t.Errorf("%T is in namespace %q, want %q", o, ns, d.Namespace)
		}
	}
	target := only[*autoscalingv2.HorizontalPodAutoscaler](t, all).Spec
	if target.ScaleTargetRef.Name != d.Name || target.ScaleTargetRef.Kind != "Deployment" || *target.MinReplicas < *d.Spec.Replicas {
		t.Errorf("the autoscaler is about %+v, at least %d replicas", target.ScaleTargetRef, *target.MinReplicas)
	}
	if name := d.Spec.Template.Spec.ServiceAccountName; name != only[*corev1.ServiceAccount](t, all).Name {
		t.Errorf("service account %q", name)
	}
}

// Names of ports lead to ports, and only the public one is open to all.
func TestPorts(t *testing.T) {
	all := manifests(t)
	c := only[*appsv1.Deployment](t, all).Spec.Template.Spec.Containers[0]
	var names []string
	for _, p := range c.Ports {
		names = append(names, p.Name)
	}
	for what, port := range map[string]string{
		"Service":  only[*corev1.Service](t, all).Spec.Ports[0].TargetPort.StrVal,
		"startup":  c.StartupProbe.HTTPGet.Port.StrVal,
		"ready":    c.ReadinessProbe.HTTPGet.Port.StrVal,
		"liveness": c.LivenessProbe.HTTPGet.Port.StrVal,
	} {
		if port != "public" || !slices.Contains(names, port) {
			t.Errorf("%s: port %q of %v, want public", what, port, names)
		}
	}
	for _, rule := range only[*networkingv1.NetworkPolicy](t, all).Spec.Ingress {
		for _, p := range rule.Ports {
			if !slices.Contains(names, p.Port.StrVal) || p.Port.StrVal == "admin" && len(rule.From) == 0 {
				t.Errorf("network policy: port %s from %v", p.Port, rule.From)
			}
		}
	}
}

// Nothing runs as root, writes to its image, or can become more than it is.
func TestRights(t *testing.T) {
	spec := only[*appsv1.Deployment](t, manifests(t)).Spec.Template.Spec
	c := spec.Containers[0].SecurityContext
	if spec.SecurityContext == nil || spec.SecurityContext.RunAsNonRoot == nil || !*spec.SecurityContext.RunAsNonRoot ||
		spec.SecurityContext.SeccompProfile == nil || spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken {
		t.Errorf("the pod: %+v", spec.SecurityContext)
	}
	if c == nil || c.ReadOnlyRootFilesystem == nil || !*c.ReadOnlyRootFilesystem || c.AllowPrivilegeEscalation == nil || *c.AllowPrivilegeEscalation ||
		c.Capabilities == nil || !slices.Equal(c.Capabilities.Drop, []corev1.Capability{"ALL"}) {
		t.Errorf("the container: %+v", c)
	}
	secret := spec.Volumes[0].Secret
	if secret == nil || *secret.DefaultMode&0o007 != 0 {
		t.Errorf("the secrets: %+v", secret)
	}
}
