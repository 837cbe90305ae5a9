package contract

import "github.com/mainstay-go/mainstay/transport/httpapi"

// GetUser returns one user. An unknown ID is not_found. It is internal: it needs a token for [UsersAudience].
var GetUser = httpapi.NewEndpoint[GetUserRequest, User]("GET /users/{id}", nil)

// GetUserRequest names the user.
type GetUserRequest struct {
	ID string `path:"id"`
}

// User is somebody who may order.
type User struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Email string `json:"email"`
}
