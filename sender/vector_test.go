package sender

import (
	"encoding/base64"
	"net/url"
	"strings"
	"testing"
	"time"
)

// The example of Aliyun's page "V3版本请求体&签名机制" (V3 request structure and
// signature, help.aliyun.com/zh/sdk/product-overview/v3-request-structure-and-signature),
// under "固定参数示例" (example with fixed parameters).
func TestAliyunsExample(t *testing.T) {
	c := aliyunCall{
		host: "ecs.cn-shanghai.aliyuncs.com", action: "RunInstances", version: "2014-05-26",
		at: time.Date(2023, 10, 26, 10, 22, 32, 0, time.UTC), nonce: "3156853299f313e23d1673dc12e1703d",
		query: url.Values{"RegionId": {"cn-shanghai"}, "ImageId": {"win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd"}},
	}
	const want = "ACS3-HMAC-SHA256 Credential=YourAccessKeyId," +
		"SignedHeaders=host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version," +
		"Signature=06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"
	if got := c.sign("YourAccessKeyId", "YourAccessKeySecret").Get("Authorization"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// The example of Tencent's page "签名方法 v3" (cloud.tencent.com/document/api/213/30654),
// which shows both keys as asterisks and has signed with them so.
func TestTencentsExample(t *testing.T) {
	stars := strings.Repeat("*", 32)
	body := `{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}`
	h := signTencent("AKID"+stars, stars, "cvm", "cvm.tencentcloudapi.com", "DescribeInstances", []byte(body), time.Unix(1551113065, 0))
	want := "TC3-HMAC-SHA256 Credential=AKID" + stars + "/2019-02-25/cvm/tc3_request, SignedHeaders=content-type;host;x-tc-action, " +
		"Signature=10b1a37a7301a02ca19a647ad722d5e43b4b3cff309d421d85b46093f6ab6c4f"
	if got := h.Get("Authorization"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// The example that the libraries of Standard Webhooks test themselves with
// (github.com/standard-webhooks/standard-webhooks, libraries).
func TestStandardWebhooksExample(t *testing.T) {
	key, err := base64.StdEncoding.DecodeString("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	const want = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	if got := signWebhook(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
