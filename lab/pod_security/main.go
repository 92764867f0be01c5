// Pod_security says of pods what Kubernetes' own evaluator of the Pod Security Standards says of them.
//
// It reads a JSON array of pods on standard input, and writes an array of their verdicts: by level and minor version of
// Kubernetes, why the pod is forbidden. An empty list means that it is allowed. Its arguments are the minor versions.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(minors []string) error {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return err
	}
	var pods []corev1.Pod
	input := json.NewDecoder(os.Stdin)
	// A field that Kubernetes does not know would be judged by nobody.
	input.DisallowUnknownFields()
	if err := input.Decode(&pods); err != nil {
		return err
	}
	verdicts := make([]map[string][]string, 0, len(pods))
	for _, pod := range pods {
		verdict := map[string][]string{}
		for _, text := range minors {
			minor, err := strconv.Atoi(text)
			if err != nil {
				return err
			}
			for _, level := range []api.Level{api.LevelBaseline, api.LevelRestricted} {
				reasons := []string{}
				at := api.LevelVersion{Level: level, Version: api.MajorMinorVersion(1, minor)}
				for _, result := range evaluator.EvaluatePod(at, &pod.ObjectMeta, &pod.Spec) {
					if !result.Allowed {
						reasons = append(reasons, result.ForbiddenReason)
					}
				}
				verdict[string(level)+" "+text] = reasons
			}
		}
		verdicts = append(verdicts, verdict)
	}
	return json.NewEncoder(os.Stdout).Encode(verdicts)
}
