/* Loaded before plotly, which makes style elements of its own: they get this page's nonce, so that the content
   security policy need not allow inline styles. */
"use strict";
(() => {
  const nonce = document.currentScript.nonce;
  const create = Document.prototype.createElement;
  Document.prototype.createElement = function createElement(name, ...rest) {
    const element = create.call(this, name, ...rest);
    if (typeof name === "string" && name.toLowerCase() === "style") element.nonce = nonce;
    return element;
  };
})();
