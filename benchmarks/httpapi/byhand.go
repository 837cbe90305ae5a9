package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"unicode/utf8"
)

var (
	zip        = regexp.MustCompile("^[0-9]{5}$")
	currencies = []string{"EUR", "USD", "GBP"}
)

// byHand is what a careful team writes with the standard library.
func byHand() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		customer := r.PathValue("customer")
		var o order
		if status, err := readOrder(w, r, &o); err != nil {
			refuse(w, status, err)
			return
		}
		if err := errors.Join(checkCustomer(customer), checkOrder(&o)); err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(place(customer, o.SKU, o.Quantity, o.PriceCents, o.Currency))
	})
	return mux
}

func readOrder(w http.ResponseWriter, r *http.Request, o *order) (status int, err error) {
	if mt, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mt != "application/json" {
		return http.StatusUnsupportedMediaType, errors.New("the Content-Type must be application/json")
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	if err := d.Decode(o); err != nil {
		if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
			return http.StatusRequestEntityTooLarge, err
		}
		return http.StatusBadRequest, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return http.StatusBadRequest, errors.New("there is more behind the body")
	}
	return 0, nil
}

func refuse(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"title": http.StatusText(status), "status": status, "detail": err.Error(),
	})
}

func checkCustomer(customer string) error {
	return text("customer", customer, 0, 40)
}

func checkOrder(o *order) (err error) {
	err = errors.Join(
		text("sku", o.SKU, 1, 40),
		number("quantity", int64(o.Quantity), 1, 100),
		number("price_cents", o.PriceCents, 0, 100_000_000),
		text("name", o.Name, 1, 100),
		text("street", o.Street, 1, 100),
		text("city", o.City, 1, 100),
	)
	if !slices.Contains(currencies, o.Currency) {
		err = errors.Join(err, errors.New("currency must be one of EUR, USD, GBP"))
	}
	if !zip.MatchString(o.Zip) {
		err = errors.Join(err, errors.New("zip must be five digits"))
	}
	if len(o.Tags) > 5 {
		err = errors.Join(err, errors.New("tags must be at most 5"))
	}
	for _, tag := range o.Tags {
		err = errors.Join(err, text("tags", tag, 0, 20))
	}
	return err
}

func text(name, s string, least, most int) error {
	if n := utf8.RuneCountInString(s); n < least || n > most {
		return fmt.Errorf("%s must be %d to %d characters long", name, least, most)
	}
	return nil
}

func number(name string, n, least, most int64) error {
	if n < least || n > most {
		return fmt.Errorf("%s must be %d to %d", name, least, most)
	}
	return nil
}
