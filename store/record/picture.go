package record

import "app2wxapp/upload"

// EncodePicture codes a picture but for its id.
func EncodePicture(p upload.Picture) []byte {
	e := make(Encoder, 0, len(p.Data)+16)
	e.Text(p.Type)
	e.Bytes(p.Data)
	return e
}

// DecodePicture is the reverse of EncodePicture.
func DecodePicture(id, record string) (upload.Picture, error) {
	d := NewDecoder(record)
	p := upload.Picture{ID: id, Type: d.Text()}
	p.Data = []byte(d.Text())
	return p, d.Err
}
