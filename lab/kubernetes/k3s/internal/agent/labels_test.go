package agent

import (
	"maps"
	"testing"
)

func TestLabelsAreAddedAndChangedAndNeverRemoved(t *testing.T) {
	there := map[string]string{"site": "old", "once": "told", "region": "eu"}
	got := missingLabels(there, []string{"site=new", "tier=near", "region=eu", "empty="})
	if !maps.Equal(got, map[string]string{"site": "new", "tier": "near", "empty": ""}) {
		t.Errorf("got %v", got)
	}
}
