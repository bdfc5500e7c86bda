// Elements with text and properties; never markup from data.

export function element(name, properties = {}, children = []) {
  const made = document.createElement(name);
  const { ariaLabel, ...others } = properties;
  Object.assign(made, others);
  if (ariaLabel) made.setAttribute("aria-label", ariaLabel);
  made.append(...children);
  return made;
}
