package authing_test

import (
	"strings"
	"testing"
	"time"
)

func (r rig) renewed(token string) string {
	r.t.Helper()
	var out struct {
		Data struct {
			RefreshToken struct{ Token string }
		}
	}
	r.graphql(token, `mutation { refreshToken { token } }`, nil).Want(200).Decode(&out)
	if out.Data.RefreshToken.Token == "" {
		r.t.Fatal("refreshToken gave no token")
	}
	return out.Data.RefreshToken.Token
}

func (r rig) holds(token string) bool {
	r.t.Helper()
	own := strings.Contains(r.graphql(token, `{ checkLoginStatus { status } }`, nil).Want(200).Body, "true")
	if other := strings.Contains(r.Do("GET", r.URL+"/authing/token?access_token="+token, "").Want(200).Body, `"status":true`); own != other {
		r.t.Errorf("checkLoginStatus says %t, /authing/token %t", own, other)
	}
	return own
}

// Whoever redeems a stolen ticket must not keep what was renewed from its token.
func TestReplayEndsRenewedTokens(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		setting string
		later   time.Duration // when the ticket is shown again
		want    bool          // that they hold
	}{
		"revokeOnReplay":              {`"revokeOnReplay":true`, time.Minute, false},
		"after the first token's end": {`"tokenTTL":60`, 90 * time.Second, false},
		"revokeOnReplay off":          {`"revokeOnReplay":false`, time.Minute, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, row.setting)
			ticket := r.Ticket(r.pool, "alice")
			var first struct{ Token string }
			r.Redeem(r.pool, ticket).Want(200).Decode(&first)
			other := r.login("alice").Token
			r.Clock.Turn(50 * time.Second)
			second := r.renewed(first.Token)
			r.Clock.Turn(row.later - 50*time.Second)
			third := r.renewed(second)
			r.Redeem(r.pool, ticket).WantError(400, 4001, "invalid_ticket")
			for n, token := range map[string]string{"second": second, "third": third} {
				if got := r.holds(token); got != row.want {
					t.Errorf("the %s token holds: %t, want %t", n, got, row.want)
				}
			}
			if row.want {
				r.renewed(third)
				return
			}
			for _, token := range []string{first.Token, second, third} {
				res := r.graphql(token, `mutation { refreshToken { token } }`, nil).Want(200)
				if !strings.Contains(res.Body, `"errors"`) {
					t.Errorf("renewed after the replay: %s", res.Body)
				}
			}
			if row.later == time.Minute && !r.holds(other) {
				t.Error("another login's token is over")
			}
		})
	}
}

// A logout ends its login: the first token and all that were renewed from it.
func TestLogoutEndsRenewedTokens(t *testing.T) {
	t.Parallel()
	for i := range 3 {
		r := newRig(t)
		first, other := r.login("alice").Token, r.login("alice").Token
		second := r.renewed(first)
		tokens := []string{first, second, r.renewed(second)}
		r.Do("GET", r.URL+"/api/v2/logout", "", "Authorization: Bearer "+tokens[i]).Want(200)
		for n, token := range tokens {
			if r.holds(token) {
				t.Errorf("logout by token %d: token %d holds", i, n)
			}
		}
		if !r.holds(other) {
			t.Errorf("logout by token %d: another login's is over", i)
		}
	}
}
